# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: Apache-2.0
#
# cluster.sh - what the local cluster consists of: nodes, ports, configs, URLs. To be sourced;
# needs $run_dir, $source_dir.

nodes=(origin backbone edge-eu edge-us)
processes=(redis "${nodes[@]}" publisher) # in the order of starting
workers=2
stream=live/test

# lay_out BASE: fill port[NODE.WHAT], port[redis], role[NODE], region[NODE] and base_url[NODE].
# Each node has a block of 100 ports; WebRTC and pipes take as many UDP ports as there are workers.
lay_out() {
    local block=$1 node
    declare -gA port role region base_url
    port[redis]=$1
    for node in "${nodes[@]}"; do
        port[$node.http]=$((block + 10))
        port[$node.rtmp]=$((block + 11))
        port[$node.rtc]=$((block + 20))
        port[$node.pipe]=$((block + 30))
        block=$((block + 100))
        role[$node]=${node%%-*}
        region[$node]=eu
        base_url[$node]=http://127.0.0.1:${port[$node.http]}
    done
    region[edge-us]=us
}

# Viewers and publishers may come from the network; redis and the pipes stay on this host.
write_config() {
    local node=$1
    cat <<CONFIG
node:
  id: $node
  region: ${region[$node]}
  workers: $workers
http:
  listen: "0.0.0.0:${port[$node.http]}"
  web: "$source_dir/web"
pipe:
  listen: "127.0.0.1:${port[$node.pipe]}"
  announce: "127.0.0.1:${port[$node.pipe]}"
  ca: "$run_dir/certs/ca.crt"
  certificate: "$run_dir/certs/$node.crt"
  key: "$run_dir/certs/$node.key"
redis:
  address: "127.0.0.1:${port[redis]}"
CONFIG
    case ${role[$node]} in
    origin) printf 'rtmp:\n  listen: "0.0.0.0:%s"\n' "${port[$node.rtmp]}" ;;&
    origin | edge) printf 'rtc:\n  listen: "0.0.0.0:%s"\n' "${port[$node.rtc]}" ;;
    esac
}

# One "name url" a line.
urls() {
    local node
    echo "origin.whip ${base_url[origin]}/whip/$stream"
    echo "origin.rtmp rtmp://127.0.0.1:${port[origin.rtmp]}/$stream"
    echo "origin.publish ${base_url[origin]}/publish.html?stream=live/camera"
    for node in edge-eu edge-us; do
        echo "$node.watch ${base_url[$node]}/watch.html?stream=$stream"
        echo "$node.whep ${base_url[$node]}/whep/$stream"
        echo "$node.flv ${base_url[$node]}/$stream.flv"
    done
    for node in "${nodes[@]}"; do
        echo "$node.api ${base_url[$node]}/api/v1"
    done
}
