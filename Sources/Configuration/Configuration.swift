// Configuration: see ARCHITECTURE.md
