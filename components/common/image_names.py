"""The names of the images that tasks run in. The compiled pipeline contains them."""

import os

# kfp.local warns at every task whose image has no "python" in its name.
IMAGE = os.environ.get("IMAGE", "keras-pipeline-python:latest")
# The images of trainings on machines with GPUs or a TPU.
GPU_IMAGE = os.environ.get("IMAGE_GPU", "keras-pipeline-python-gpu:latest")
TPU_IMAGE = os.environ.get("IMAGE_TPU", "keras-pipeline-python-tpu:latest")
# The image of deployed models and of batch predictions.
SERVING_IMAGE = os.environ.get("IMAGE_SERVING", "keras-pipeline-python-serving:latest")
# The user of the images, see containers/Dockerfile.
USER = 1000
