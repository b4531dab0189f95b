"""PyFlink: a keyed process function keeps each user's moving average of ready vectors.

JSON, parsed in Java; process mode, parallelism 2, state on the heap.
"""

import sys
from pathlib import Path

from meter import Meter, arguments
from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.kafka import KafkaOffsetsInitializer, KafkaSource
from pyflink.datastream.formats.json import JsonRowDeserializationSchema
from pyflink.datastream.functions import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueStateDescriptor

K = 0.9


class MovingAverage(KeyedProcessFunction):
    def __init__(self, given):
        self._given = given

    def open(self, context: RuntimeContext):
        import numpy as np  # this runs in another process

        self._np = np
        self._meter = Meter(self._given["progress"])
        self._vectors = np.load(self._given["vectors"])
        self._state = context.get_state(
            ValueStateDescriptor("profile", Types.PRIMITIVE_ARRAY(Types.BYTE()))
        )

    def process_element(self, action, context):  # as it is called
        held = self._state.value()
        profile = (1 - K) * self._vectors[int(action[1])]
        if held is not None:
            profile = profile + K * self._np.frombuffer(held, self._np.float32)
        self._state.update(profile.astype(self._np.float32).tobytes())
        self._meter.add()
        return ()


given = arguments()
configuration = Configuration()
configuration.set_string("pipeline.jars", Path(given["jar"]).resolve().as_uri())
configuration.set_string("python.executable", sys.executable)
configuration.set_string("python.execution-mode", "process")
configuration.set_string("state.backend.type", "hashmap")
configuration.set_string("python.fn-execution.bundle.size", "10000")
configuration.set_string("python.state.cache-size", "2000")
environment = StreamExecutionEnvironment.get_execution_environment(configuration)
environment.set_parallelism(2)
environment.add_python_file(str(Path(__file__).with_name("meter.py")))
row = Types.ROW_NAMED(["user_id", "item_id"], [Types.STRING(), Types.STRING()])
source = (
    KafkaSource.builder()
    .set_bootstrap_servers(given["bootstrap"])
    .set_topics(given["topic"])
    .set_group_id(given["group"])
    .set_starting_offsets(KafkaOffsetsInitializer.earliest())
    .set_value_only_deserializer(JsonRowDeserializationSchema.builder().type_info(row).build())
    .build()
)
actions = environment.from_source(source, WatermarkStrategy.no_watermarks(), "actions")
actions.key_by(lambda action: action[0], key_type=Types.STRING()).process(
    MovingAverage(given), output_type=Types.STRING()
).print()
environment.execute("moving average")
