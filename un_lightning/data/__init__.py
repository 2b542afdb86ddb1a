"""Documents become blocks of tokens: sources, packing, the store on disk, and the order of reading."""
