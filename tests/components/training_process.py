"""A process of a training, for test_distribution.py: python -m training_process JSON.

It trains models one after the other, on two logical CPUs where `devices` says so, and as a worker where TF_CONFIG
does.
"""

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def main(job):
    import tensorflow as tf

    from components.data import input_pipeline
    from components.train import devices, trainer
    from components.train import train as train_step
    from components.train.trainer import Trainer

    if job.get("devices", 1) > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * job["devices"])
    if "cache_bytes" in job:
        input_pipeline.CACHE_BYTES = job["cache_bytes"]
    if "stretch_seconds" in job:
        trainer.STRETCH_SECONDS = job["stretch_seconds"][json.loads(os.environ["TF_CONFIG"])["task"]["type"]]
    if "policy" in job:
        train_step.dtype_policy = lambda precision, accelerator: job["policy"]
    on_step = Trainer.on_step

    def disturbed(self):
        terminate = job.get("terminate")
        if terminate and (self.state.done, self.devices.worker) == (terminate["step"], terminate["worker"]):
            os.kill(os.getpid(), signal.SIGTERM)
        on_step(self)
        if self.state.done == job.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)

    Trainer.on_step = disturbed
    folder = job["folder"]
    found = None
    if job.get("histories"):
        # What this worker saw, chief or not.
        task = json.loads(os.environ["TF_CONFIG"])["task"]
        found = Path(f"{job['histories']}-{task['type']}-{task['index']}.json")
    histories = {}
    for name, spec in job["models"].items():
        dataset = job["datasets"][spec["dataset"]]
        model, checkpoints = f"{folder}/run/train-{name}/model", f"{folder}/checkpoints"
        info = train_step.train(name, json.dumps(spec), job["seed"], "x", dataset, model, checkpoints)
        histories[name] = info.history
    if found:
        found.write_text(json.dumps(histories))
    assert devices.find_devices().replicas >= 1


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
