// Routing: see ARCHITECTURE.md
