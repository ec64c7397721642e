#!/usr/bin/env bash
# A job on the nodes that Slurm gives: sbatch cluster/slurm.sh job.yaml [--field value]...
# Submitted again it does what is missing. Its exit code is the job's: 0 all done, 1 some failed, 2 refused, 3 alarm.
#SBATCH --job-name=fox-flux
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --gpus-per-node=8
#SBATCH --time=08:00:00
# A node that fails is replaced by a new run, not by a new node: the job ends and begins again.
#SBATCH --requeue
set -euo pipefail

port=${RAY_PORT:-6379}
# Seconds that a node has to come up in.
patience=${RAY_PATIENCE:-300}

# Of its own: /tmp/ray may be left there by another user.
export RAY_TMPDIR=${RAY_TMPDIR:-/tmp/ray-$SLURM_JOB_ID}

# One token for all nodes of this run. srun passes the environment on, and no other user can read it.
RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE RAY_AUTH_TOKEN

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# Only in a subshell, which srun replaces: what ends it ends srun. All CPUs of the node: a step would get one.
on() {
  exec srun --nodes=1 --ntasks=1 --overlap --cpus-per-task="$SLURM_CPUS_ON_NODE" --cpu-bind=none --nodelist="$1" "${@:2}"
}

# As Ray sees it: /etc/hosts may call the node 127.0.1.1.
head_ip=$(on "${nodes[0]}" python -c 'import ray.util; print(ray.util.get_node_ip_address())')
export RAY_ADDRESS="$head_ip:$port"

echo "head: ${nodes[0]} ($RAY_ADDRESS); ${#nodes[@]} nodes"
on "${nodes[0]}" ray start --head --block --disable-usage-stats \
  --node-ip-address="$head_ip" --port="$port" --include-dashboard=false &
for node in "${nodes[@]:1}"; do
  on "$node" ray start --block --disable-usage-stats --address="$RAY_ADDRESS" &
done
# Whatever ends this script ends the nodes.
trap 'trap - TERM; kill -- $(jobs -p) 2> /dev/null; wait' EXIT

alive() {
  python - << 'PYTHON'
import logging
import ray
ray.init(logging_level=logging.CRITICAL, log_to_driver=False)
print(sum(node["Alive"] for node in ray.nodes()))
PYTHON
}
until [ "$(alive 2> /dev/null || echo 0)" -eq "${#nodes[@]}" ]; do
  if ((SECONDS > patience)); then
    echo "not all of ${#nodes[@]} nodes came up within $patience seconds" >&2
    exit 1
  fi
  sleep 2
done

python -m jobs generate "$@"
