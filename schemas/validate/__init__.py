"""What stands behind `relaykit validate`: finding frames in files, judging them, and reporting.

`sources` finds the files and says what kind each is; `cutting`, `markdown` and `readers` take frames out of
them piece by piece, whatever their size; `checking` judges each; `reports` writes it down meanwhile.
"""
