"""What every measurement needs: a broker, a loaded topic, a stopwatch, a report."""
