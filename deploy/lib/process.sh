# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: Apache-2.0
#
# process.sh - background processes by name. To be sourced; needs $run_dir.
#
# $run_dir/pid/NAME holds "PID START": START is the process's start time (proc(5), stat field
# 22), so that a stale file is never taken for a stranger who got the number later.

# The start time of process $1; fails when it is gone or only waits to be reaped.
start_time() {
    local stat fields
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    read -ra fields <<<"${stat##*) }" # the name in parentheses may hold blanks: cut it off
    [ "${fields[0]}" != Z ] && echo "${fields[19]}"
}

# Print the pid of NAME while it runs; fail when it does not.
pid_of() {
    local pid start
    { read -r pid start <"$run_dir/pid/$1"; } 2>/dev/null || return 1
    [ "$(start_time "$pid")" = "$start" ] && echo "$pid"
}

# start NAME COMMAND...: in a session of its own, so that Ctrl-C at the terminal does not reach it.
start() {
    local name=$1
    shift
    mkdir -p "$run_dir/pid" "$run_dir/logs"
    setsid "$@" </dev/null >"$run_dir/logs/$name.log" 2>&1 9>&- &
    echo "$! $(start_time $!)" >"$run_dir/pid/$name"
    disown # its end is told by pid_of, not by a line of the shell
}

# stop NAME: ask it to end, and end it when it has not done so in 10 s.
stop() {
    local name=$1 pid tenth
    if pid=$(pid_of "$name"); then
        kill -TERM "$pid" 2>/dev/null
        for ((tenth = 0; tenth < 100; tenth++)); do
            pid_of "$name" >/dev/null || break
            sleep 0.1
        done
        if pid=$(pid_of "$name"); then
            say "$name did not end in 10 s: killed (see $run_dir/logs/$name.log)"
            kill -KILL "$pid" 2>/dev/null
        fi
    fi
    rm -f "$run_dir/pid/$name"
}
