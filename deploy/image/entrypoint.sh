#!/bin/sh
# numba wants to write where it reads compiled code, and the image is read-only: it gets a copy. The copy is not kept
# with the state: numba does not see that a function which a loop calls has changed in a newer image.
set -eu
if [ ! -d "$NUMBA_CACHE_DIR" ]; then
    # Under another name first: a start that was cut short leaves no half of a copy behind.
    rm -rf "$NUMBA_CACHE_DIR.new"
    cp -R /opt/tidemark/loops "$NUMBA_CACHE_DIR.new"
    mv "$NUMBA_CACHE_DIR.new" "$NUMBA_CACHE_DIR"
fi
exec tidemark "$@"
