"""Sparse autoencoders and transcoders as units: their encoders alone, from local folders.

`load` recognises whose files lie in a folder, one module a format reads them (`saelens`, `sparsify`,
`dictionary_learning`), and `encoder` turns activations into latents. None of these libraries is needed.
"""
