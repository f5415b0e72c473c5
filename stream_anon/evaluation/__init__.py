"""How well it works: measures, attackers, tables and images."""
