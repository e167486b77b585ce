"""What a shell line is for: tests, types, lint, build, format, or nothing of the kind."""

from __future__ import annotations

import time

import pytest

from selfdistill.signals.commands import purpose
from selfdistill.signals.runs import is_check_command, is_test_command
from selfdistill.signals.shell import simple_commands

COMMANDS = {
    "test": """
        pytest
        cd x && FOO=1 timeout 60 mise run test 2>&1 | tail -5
        bash -lc "cd x && pytest -q"
        python -m pytest
        python -mpytest tests
        python3 -m unittest discover
        uv run --with x pytest
        poetry run pytest
        npm test
        npm run test:unit -- --watch=false
        yarn test
        pnpm --filter foo test
        bun test
        make -j4 check
        just test
        task test:unit
        cargo +nightly test --lib
        cargo nextest run
        go test ./...
        npx -y vitest run
        ./gradlew :app:test
        mvn -q verify
        docker compose exec -T api pytest -q
        docker compose run --rm api bash -c "pytest x"
        ssh host "cd x && pytest"
        bundle exec rspec
        mise exec -- uv run python -m pytest
        python manage.py test
        node --test
        ./scripts/test.sh
        bash scripts/run_tests.sh
        for f in a b; do pytest "$f"; done
        coverage run -m pytest
        hatch run test
        mise run lint && mise run test
        sudo -u bob pytest
        git stash && pytest; git stash pop
        RESULT=$(pytest -q)
        (cd a; env A=b pytest)
    """,
    "lint": """
        ruff check .
        npm run lint
        golangci-lint run
        mise run fmt && mise run lint 2>&1
        npx eslint .
        pre-commit run -a
        cargo clippy
        go vet ./...
        git ls-files | xargs shellcheck
    """,
    "typecheck": """
        mypy x
        npx tsc --noEmit
        npm run type-check
        cargo check
    """,
    "build": """
        make
        go build ./...
        npm run build
        docker build .
        docker compose build
        cmake --build out
    """,
    "format": """
        ruff format .
        gofmt -l .
        mise run fmt
    """,
    "": """
        pip install pytest
        git commit -m "run pytest"
        cat test.py
        which pytest
        pytest --version
        npm install jest
        npm ci
        go run .
        uv add pytest
        echo pytest
        grep -r "npm test" .
        echo done # pytest
        docker compose up -d
        cargo test --no-run
    """,
}


@pytest.mark.parametrize(
    ("kind", "command"), [(kind, line.strip()) for kind, text in COMMANDS.items() for line in text.strip().splitlines()]
)
def test_kind_of_a_line(kind: str, command: str) -> None:
    """The programs of a line tell its kind, whatever stands around them."""
    assert is_check_command(command) == kind
    assert is_test_command(command) == (kind == "test")


def test_here_documents_are_not_commands() -> None:
    """The body of a here-document runs nothing; what follows it does."""
    assert is_check_command("cat > a <<'EOF'\npytest\nEOF") == ""
    assert is_check_command("cat > a <<'EOF'\nx\nEOF\npytest") == "test"
    assert is_check_command("git commit -m \"$(cat <<'EOF'\nmake it's test\nEOF\n)\"") == ""


@pytest.mark.parametrize(
    ("command", "prints"),
    [
        ("cat a | head -3", True),
        ("git log -3", True),
        ("git push", False),
        ("cat a; pytest", False),
        ("./x", False),
        ("tail /tmp/claude/tasks/b1.output", False),
        ("docker compose logs api", True),
        ("", False),
    ],
)
def test_lines_that_only_print(command: str, *, prints: bool) -> None:
    """A line prints when none of its programs does more than hand on text."""
    assert purpose(command).prints is prints


def test_words_are_unquoted_and_pipes_marked() -> None:
    """A simple command has its words without quotes and knows whether it reads a pipe; redirections are gone."""
    commands = simple_commands("a 'b c' 2>&1 > \"x y\" | d\n")
    assert [(one.words, one.piped) for one in commands] == [(("a", "b c"), False), (("d",), True)]


@pytest.mark.parametrize("unit", ['"', "'\"", "<<A\n", "<<A ", "$(", "1>", "\\", "a;", "bash -c 'x", "if "])
def test_hostile_lines_take_linear_time(unit: str) -> None:
    """A megabyte of any repeated fragment is taken apart in seconds of work, where quadratic time would be hours."""
    start = time.process_time()
    is_check_command(unit * (1_000_000 // len(unit)))
    assert time.process_time() - start < 10
