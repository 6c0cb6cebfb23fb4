"""Training of the signature on the factory's palms: `python -m model.train --help`."""
