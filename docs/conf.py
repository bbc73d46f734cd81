"""How the documentation is built: offline, from Markdown, warnings are errors."""

from replguard import __version__

project = "replguard"
author = "the replguard developers"
copyright = author  # Sphinx's own name for it
release = version = __version__
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "changelog.d"]
nitpicky = True
html_theme = "furo"
html_title = f"replguard {release}"
html_static_path = ["_static"]
html_copy_source = False
html_show_sphinx = False
html_last_updated_fmt = None
man_pages = [
    ("reference/cli", "replguard", "notice when a language model copies itself", author, 1),
    ("reference/configuration", "replguard.yaml", "configuration of replguard", author, 5),
    ("reference/manifest", "replguard-manifest", "what is supposed to happen on a host", author, 5),
]
man_make_section_directory = True
pygments_style = "friendly"
pygments_dark_style = "monokai"
