// Admin: see ARCHITECTURE.md
