"""Is this image whole? python -m components imports what the tasks import and names the devices that it sees."""

import importlib
import pkgutil
import sys

import components


def main() -> None:
    """Import every module, and print versions and devices."""
    for module in pkgutil.walk_packages(components.__path__, "components."):
        # The server has an image of its own.
        if not module.name.endswith("__main__") and not module.name.startswith("components.serve."):
            importlib.import_module(module.name)
    import keras
    import tensorflow as tf

    print(f"Python {sys.version.split()[0]}, TensorFlow {tf.__version__}, Keras {keras.__version__}")
    for device in tf.config.list_physical_devices():
        print(f"{device.device_type} {device.name}")


if __name__ == "__main__":
    main()
