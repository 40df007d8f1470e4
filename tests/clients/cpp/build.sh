#!/usr/bin/env bash
# Builds target/agent from a checkout of socketio/socket.io-client-cpp, which no registry offers: the tests run it where it is
# built. It needs the Debian packages libwebsocketpp-dev, libasio-dev and rapidjson-dev.
set -euo pipefail
checkout=$(realpath "${1:?usage: build.sh CHECKOUT}")
cd "$(dirname "$0")"
mkdir -p target
# <algorithm> is missing in it for current compilers.
g++ -std=c++17 -O1 -include algorithm -DASIO_STANDALONE -DSIO_DISABLE_LOGGING \
  -D_WEBSOCKETPP_CPP11_STL_ -D_WEBSOCKETPP_CPP11_FUNCTIONAL_ -D_WEBSOCKETPP_CPP11_TYPE_TRAITS_ -D_WEBSOCKETPP_CPP11_CHRONO_ \
  -I"$checkout/src" agent.cpp "$checkout"/src/*.cpp "$checkout"/src/internal/*.cpp -pthread -o target/agent
