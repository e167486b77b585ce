"""Which project a working directory belongs to: decided once, kept for good."""

from __future__ import annotations

from selfdistill.store.part import Part, storable


class Checkouts(Part):
    """cwd -> project. Later changes on disk never move a directory to another project (rulings.md, Project key)."""

    def project(self, cwd: str) -> tuple[str, str, str] | None:
        """(key, root, remote) of the project that this working directory belongs to; None if not decided yet."""
        row = self._database.row("SELECT key, root, remote FROM projects WHERE cwd = ?", (storable(cwd),))
        return (row[0], row[1], row[2]) if row else None

    def remember_project(self, cwd: str, key: str, root: str, remote: str) -> tuple[str, str, str]:
        """Keep the decision unless there already is one, of whichever process; (key, root, remote) that holds."""
        decided = (storable(key), storable(root), storable(remote))
        with self._database.transaction():
            self._database.run("INSERT OR IGNORE INTO projects VALUES (?, ?, ?, ?)", (storable(cwd), *decided))
            return self.project(cwd) or decided

    def projects(self) -> dict[str, tuple[str, str, str]]:
        """Every decision so far: cwd -> (key, root, remote)."""
        rows = self._database.rows("SELECT cwd, key, root, remote FROM projects")
        return {cwd: (key, root, remote) for cwd, key, root, remote in rows}

    def known_roots(self) -> dict[str, tuple[str, str]]:
        """Every root that a project was found at -> (key, remote)."""
        rows = self._database.rows("SELECT root, key, remote FROM projects WHERE root <> '' ORDER BY cwd DESC")
        return {root: (key, remote) for root, key, remote in rows}
