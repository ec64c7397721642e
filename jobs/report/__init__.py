"""What a person looks at in the morning: one HTML file that needs no network.

manifest -> facts -> pictures -> page; `compare` puts two runs side by side.
"""
