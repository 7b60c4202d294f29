# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: Apache-2.0
#
# process.sh - background processes by name. To be sourced; needs $run_dir.
#
# $run_dir/pid/NAME holds "PID START": START is the process's start time (proc(5), stat field
# 22), so that a stale file is never taken for a stranger who got the number later.
#
# Functions answer in REPLY, not by $(...): a subshell is in the terminal's process group, and
# Ctrl-C would end it and leave us with an empty answer.

# REPLY = the start time of process $1; fails when it is gone or only waits to be reaped.
start_time() {
    local stat fields
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    read -ra fields <<<"${stat##*) }" # the name in parentheses may hold blanks: cut it off
    REPLY=${fields[19]}
    [ "${fields[0]}" != Z ]
}

# REPLY = the pid of NAME; fails when it does not run.
pid_of() {
    local pid start
    { read -r pid start <"$run_dir/pid/$1"; } 2>/dev/null || return 1
    start_time "$pid" && [ "$REPLY" = "$start" ] && REPLY=$pid
}

# exit_on_signals: end with 128 + the signal's number, but not between a process's birth and
# the note of its pid: it would be left behind.
exit_on_signals() {
    holding='' caught=''
    trap 'on_signal 129' HUP
    trap 'on_signal 130' INT
    trap 'on_signal 143' TERM
}

on_signal() {
    caught=$1
    [ -n "$holding" ] || exit "$caught"
}

# start NAME COMMAND...: in a session of its own, so that Ctrl-C at the terminal does not reach it.
start() {
    local name=$1
    shift
    mkdir -p "$run_dir/pid" "$run_dir/logs"
    holding=yes
    setsid "$@" </dev/null >"$run_dir/logs/$name.log" 2>&1 9>&- &
    start_time $!
    echo "$! $REPLY" >"$run_dir/pid/$name"
    disown # its end is told by pid_of, not by a line of the shell
    holding=''
    [ -z "$caught" ] || exit "$caught"
}

# stop NAME: ask it to end, and end it when it has not done so in 10 s.
stop() {
    local name=$1 tenth
    if pid_of "$name"; then
        kill -TERM "$REPLY" 2>/dev/null
        for ((tenth = 0; tenth < 100; tenth++)); do
            pid_of "$name" || break
            sleep 0.1
        done
        if pid_of "$name"; then
            say "$name did not end in 10 s: killed (see $run_dir/logs/$name.log)"
            kill -KILL "$REPLY" 2>/dev/null
        fi
    fi
    rm -f "$run_dir/pid/$name"
}
