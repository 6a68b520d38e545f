// Balancing: see ARCHITECTURE.md
