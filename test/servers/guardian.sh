#!/usr/bin/env bash
# Standard input is a pipe from a test's process. When that process is gone, however it went, what it had started is ended
# and its folders are removed. Lines: "started PID", "ended PID", "folder PATH", "removed PATH".
trap '' HUP INT QUIT TERM
declare -A processes folders

# A process id is used again; together with the time of its start it is not.
start_time() {
  local stat
  read -r stat <"/proc/$1/stat" || return 1
  set -- ${stat##*) }
  printf '%s' "${20}"
} 2>/dev/null

with_descendants() {
  local child
  printf '%s\n' "$1"
  for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do with_descendants "$child"; done
}

while IFS= read -r line; do
  value=${line#* }
  case $line in
    started\ *) processes[$value]=$(start_time "$value") ;;
    ended\ *) unset "processes[$value]" ;;
    folder\ *) folders[$value]=1 ;;
    removed\ *) unset "folders[$value]" ;;
  esac
done

for pid in "${!processes[@]}"; do
  [[ -n "${processes[$pid]}" && "$(start_time "$pid")" == "${processes[$pid]}" ]] || continue
  # shellcheck disable=SC2046
  kill -KILL $(with_descendants "$pid") 2>/dev/null
done
for folder in "${!folders[@]}"; do
  # A killed PostgreSQL leaves a piece of the system's shared memory, whose id stands on the seventh line.
  if [[ -f $folder/data/postmaster.pid ]]; then
    read -r _ id < <(sed -n 7p "$folder/data/postmaster.pid") && ipcrm -m "$id" 2>/dev/null
  fi
  for attempt in 1 2 3 4 5; do
    rm -rf -- "$folder" 2>/dev/null && break
    sleep 0.2
  done
done
