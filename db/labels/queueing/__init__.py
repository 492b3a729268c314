"""What a queue is and how a team works on it: settings, guidelines, gold pairs, adjudication, figures."""
