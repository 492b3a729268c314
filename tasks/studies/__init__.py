"""Studies: arms compared on a user's own data, trial by trial. Each study is a module; `kinds` says which there are."""
