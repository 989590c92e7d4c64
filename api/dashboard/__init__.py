"""The pages for people: rendered here, drawn as SVG, nothing loaded from anywhere else.

A page is whole when it arrives; a few lines of script fetch its living part anew every five seconds while somebody
looks at it. NiceGUI would do the same in 27 MB more of this process, which its budget of 220 MB does not have.
"""
