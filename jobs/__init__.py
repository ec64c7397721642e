"""Batch generation with cached diffusion pipelines on Ray: `python -m jobs --help`.

commands -> run, pipeline      what is typed, and the order in which all else happens
config                         a job as it is written
prompts                        shards of prompts to planned batches
actors                         batches to pixels, on a GPU
media                          pixels to files
output                         manifest, identity and lease of what was written
accounting, report, nights     statistics, speed-up, pages and plots, run by run
evaluation                     which cache setting is worth it
demo                           small models of our own
"""
