"""What pyproject.toml cannot say: beside the packages of src, the wheel holds two folders."""

from setuptools import find_packages, setup

setup(packages=[*find_packages("src"), "wavloc.share.config", "wavloc.share.examples"])
