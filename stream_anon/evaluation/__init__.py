"""How well it works: measures, attackers, tables and pictures."""
