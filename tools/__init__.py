"""What builds the project's documents; no part of the package."""
