# SPDX-License-Identifier: Apache-2.0
"""Change the autoscaler settings of a running function, by name, without a redeploy.

$ python examples/dynamic_update.py
"""

from __future__ import annotations

import time

import actorpool as modal

app = modal.App("my-app")


@app.function(max_containers=5)
def f(x: int) -> int:
    time.sleep(0.02)
    return x


@app.cls()
class MyClass:
    model_version: str = modal.parameter()

    @modal.method()
    def predict(self, x: int) -> str:
        return f"{self.model_version}: {x}"


def main() -> None:
    app.deploy()
    try:
        # Anywhere in this process; a handle by name follows later deployments.
        handle = modal.Function.from_name("my-app", "f")
        print("decorator:          ", handle.statistics().settings)
        print("max_containers=100: ", handle.update_autoscaler(max_containers=100))

        # Updates merge: what is not given stays as it is.
        handle.update_autoscaler(min_containers=2, max_containers=10)
        print("updates merge:      ", handle.update_autoscaler(min_containers=4))

        # The next deployment puts the decorator's settings back.
        app.deploy()
        print("deployed anew:      ", handle.statistics().settings)

        # An instance of a class has a pool of its own, with settings of its own.
        cls = modal.Cls.from_name("my-app", "MyClass")
        obj = cls(model_version="3.5")
        print('model_version="3.5":', obj.update_autoscaler(buffer_containers=2))
        print('model_version="4.0":', cls(model_version="4.0").predict.statistics().settings)
    finally:
        app.stop()


if __name__ == "__main__":
    main()
