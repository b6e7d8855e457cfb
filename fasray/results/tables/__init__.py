"""Result tables as text, Markdown, LaTeX and files."""
