"""The commands of `python -m jobs`, a file each. They import what they need when they run, so that --help is quick."""
