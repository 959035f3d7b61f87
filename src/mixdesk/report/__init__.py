"""The desk: one self-contained HTML page that answers, lets the reader move the mixture, and shows why to doubt it."""
