"""The survey of Raynal et al. 2020 (section 4.2.2): what people recognise in obfuscated images, by privacy score."""
