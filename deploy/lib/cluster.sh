# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: Apache-2.0
#
# cluster.sh - what the local cluster consists of: nodes, ports, configs, URLs. To be sourced;
# needs $base_port, $run_dir, $source_dir.
#
# Ports, counted from the base port: redis +0, then a block of 100 for each node, with
# +10 HTTP, +11 RTMP, +20.. WebRTC (one UDP port a worker), +30.. pipes (TCP +30, UDP one a worker).

nodes=(origin backbone edge-eu edge-us)
processes=(redis "${nodes[@]}" publisher) # in the order of starting
workers=2
stream=live/test

# port NODE WHAT
port() {
    local block offset
    case $1 in
    redis) echo "$base_port" && return ;;
    origin) block=0 ;;
    backbone) block=100 ;;
    edge-eu) block=200 ;;
    edge-us) block=300 ;;
    esac
    case $2 in
    http) offset=10 ;;
    rtmp) offset=11 ;;
    rtc) offset=20 ;;
    pipe) offset=30 ;;
    esac
    echo $((base_port + block + offset))
}

# The role is the name up to the region.
role() {
    echo "${1%%-*}"
}

region() {
    case $1 in
    *-*) echo "${1#*-}" ;;
    *) echo eu ;;
    esac
}

# Viewers and publishers may come from the network; redis and the pipes stay on this host.
write_config() {
    local node=$1
    cat <<CONFIG
node:
  id: $node
  region: $(region "$node")
  workers: $workers
http:
  listen: "0.0.0.0:$(port "$node" http)"
  web: "$source_dir/web"
pipe:
  listen: "127.0.0.1:$(port "$node" pipe)"
  announce: "127.0.0.1:$(port "$node" pipe)"
  ca: "$run_dir/certs/ca.crt"
  certificate: "$run_dir/certs/$node.crt"
  key: "$run_dir/certs/$node.key"
redis:
  address: "127.0.0.1:$(port redis)"
CONFIG
    case $node in
    origin) printf 'rtmp:\n  listen: "0.0.0.0:%s"\n' "$(port origin rtmp)" ;;
    esac
    case $node in
    origin | edge-*) printf 'rtc:\n  listen: "0.0.0.0:%s"\n' "$(port "$node" rtc)" ;;
    esac
}

http_url() {
    echo "http://127.0.0.1:$(port "$1" http)"
}

# One "name url" a line.
urls() {
    local node
    echo "origin.whip $(http_url origin)/whip/$stream"
    echo "origin.rtmp rtmp://127.0.0.1:$(port origin rtmp)/$stream"
    echo "origin.publish $(http_url origin)/publish.html?stream=live/camera"
    for node in edge-eu edge-us; do
        echo "$node.watch $(http_url "$node")/watch.html?stream=$stream"
        echo "$node.whep $(http_url "$node")/whep/$stream"
        echo "$node.flv $(http_url "$node")/$stream.flv"
    done
    for node in "${nodes[@]}"; do
        echo "$node.api $(http_url "$node")/api/v1"
    done
}
