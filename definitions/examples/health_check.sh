# Reads this machine's root disk and memory use and prints one JSON object.
# PARAM_THRESHOLD: the use in percent from which the machine counts as unhealthy.
set -euo pipefail

disk=$(df -P / | awk 'NR == 2 { sub("%", "", $5); print $5 }')
memory=$(awk '/^MemTotal:/ { total = $2 } /^MemAvailable:/ { free = $2 }
              END { printf "%d", (total - free) * 100 / total }' /proc/meminfo)

healthy=true
if [ "$disk" -ge "$PARAM_THRESHOLD" ] || [ "$memory" -ge "$PARAM_THRESHOLD" ]; then
  healthy=false
fi

host=$(uname -n | tr -d '"\\')
printf '{"hostname": "%s", "disk_percent": %d, "memory_percent": %d, "healthy": %s}\n' \
  "$host" "$disk" "$memory" "$healthy"
