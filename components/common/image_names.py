"""The images that tasks run in, named once, when the pipeline is compiled."""

import os

# Without "python" in a name kfp.local warns at every task.
IMAGE = os.environ.get("IMAGE", "keras-pipeline-python:latest")
# Of trainings on machines with GPUs or a TPU.
GPU_IMAGE = os.environ.get("IMAGE_GPU", "keras-pipeline-python-gpu:latest")
TPU_IMAGE = os.environ.get("IMAGE_TPU", "keras-pipeline-python-tpu:latest")
# Of models that are deployed, and of batch predictions.
SERVING_IMAGE = os.environ.get("IMAGE_SERVING", "keras-pipeline-python-serving:latest")
