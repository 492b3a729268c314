"""What a first look shows, counted cheaply over all the rest."""
