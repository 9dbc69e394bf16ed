"""Real data by manifest: found, fetched, verified, and read into integers.

`manifest` finds the manifest of a name, `fetch` brings its files from the first place that holds the right bytes,
`download` is one resumable transfer, `cache` keeps what was verified; `idx` reads images and labels, `hub` a column
of a Hugging Face data set, `byte_store` lays texts end to end on disk, `text` cuts them into documents.
"""
