#!/bin/bash
# SLURM: one task per GPU, on as many machines as --nodes says.
#   sbatch accelerate_configs/slurm.sh --recipe ade20k --train_dir DIR --output_dir /shared/run
# srun starts Python itself, with no launcher in between that would take the signals: two minutes before the end of the
# job's time every process gets SIGUSR1, the run saves a checkpoint and exits with 0, and the job queues itself again.
#SBATCH --job-name=dpsims
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=dpsims-%j.log

set -u
if [ "$#" -eq 0 ]; then
    echo "usage: sbatch $0 ARGUMENTS OF train_accelerate.py" >&2
    exit 2
fi
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT
export WORLD_SIZE=$SLURM_NTASKS LOCAL_WORLD_SIZE=$SLURM_NTASKS_PER_NODE
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

log="dpsims-$SLURM_JOB_ID.log"
stops() { grep -c "stopped by a signal" "$log" || true; }
before=$(stops)

# --kill-on-bad-exit: a process that dies takes the others along instead of leaving them waiting for it.
# shellcheck disable=SC2016  # the variables of each task, not of this script
srun --kill-on-bad-exit=1 bash -c \
    'RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID exec python train_accelerate.py "$@"' bash \
    "$@" --expect_processes "$SLURM_NTASKS" --resume_from_checkpoint latest
status=$?

# 0 is "done" as well as "stopped by a signal": only the latter goes on. 2 is an error that needs a person (a bad sample,
# a loss that is not finite, a full disk).
if [ "$status" -eq 0 ] && [ "$(stops)" -gt "$before" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
