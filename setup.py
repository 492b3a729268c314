"""Puts deployments.yaml beside the packages, where Prefect deploys from; all else is in pyproject.toml."""

from setuptools import setup
from setuptools.command.build_py import build_py


class WithDeployments(build_py):
    """The packages and deployments.yaml."""

    def run(self) -> None:
        """Build them."""
        super().run()
        if not self.editable_mode:
            self.copy_file("deployments.yaml", self.build_lib)


setup(cmdclass={"build_py": WithDeployments})
