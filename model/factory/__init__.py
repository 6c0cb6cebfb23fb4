"""The palm factory: procedural identities of palms, and images of them.

`identity.py` draws what belongs to a palm for life (creases, wrinkles, skin, veins) as a few grey layers in skin
coordinates; `store.py` keeps the layers of many identities in one file; `sample.py` takes pictures of them: pose,
deformation, light, camera. Everything is a batch of torch tensors, so the same code runs on a CPU and on a GPU, and
everything follows from a seed. No image of a person is read anywhere in it.
"""
