"""What changed between two editions of the protocol, and whether it breaks those who keep to the older one.

`editions` reads them (a folder, a bundle, a git revision), `changes` compares them, `deciding` judges whether
a schema narrowed or widened (`languages`: a regular expression), `writing` says it as text or JSON.
"""
