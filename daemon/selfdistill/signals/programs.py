"""Tables: what kind of check each program, subcommand and task name stands for.

Kinds are "test", "typecheck", "lint", "build" and "format". The names are those of the tools' own documentation;
checked against 3,724 real shell calls (2,668 of Claude Code, 1,056 of Codex).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# When one line does several checks its kind is the first of these: a test run says most about how the work stands.
PRECEDENCE: Final = ("test", "typecheck", "lint", "build", "format")


def names_in(text: str) -> frozenset[str]:
    """The set of names parted by blanks: tables of hundreds of names stay readable."""
    return frozenset(text.split())


def _table(**names_of: str) -> dict[str, str]:
    """Name -> kind, from kind -> names parted by blanks."""
    return {name: kind for kind, names in names_of.items() for name in names.split()}


PROGRAMS: Final[Mapping[str, str]] = _table(
    test="""
        pytest py.test unittest nose2 nosetests trial behave lettuce stestr tox nox jest vitest mocha ava tap tape
        jasmine karma cypress wtr web-test-runner testcafe gotestsum ginkgo richgo gotest rspec parallel_rspec cucumber
        minitest phpunit pest paratest behat codecept ctest bats busted prove shellspec kyua xctest mutmut doctest
    """,
    typecheck="""
        tsc vue-tsc mypy dmypy pyright basedpyright pyre pytype ty svelte-check flow phpstan psalm srb steep dialyzer
    """,
    lint="""
        eslint eslint_d oxlint tslint standard xo stylelint htmlhint markdownlint markdownlint-cli2 flake8 pylint
        pyflakes pycodestyle pydocstyle bandit vulture golangci-lint staticcheck revive golint shellcheck hadolint
        actionlint yamllint ansible-lint rubocop standardrb brakeman swiftlint ktlint detekt checkstyle clang-tidy
        cppcheck luacheck sqlfluff commitlint knip depcheck codespell typos jscpd phpcs credo tflint semgrep
        pre-commit lefthook zizmor
    """,
    build="""
        webpack rollup esbuild tsup tsdown parcel msbuild gcc g++ cc clang clang++ javac kotlinc rustc wasm-pack
        goreleaser
    """,
    format="""
        black isort autopep8 yapf prettier gofmt gofumpt goimports rustfmt clang-format shfmt dprint php-cs-fixer pint
        swiftformat stylua taplo ormolu fourmolu djlint
    """,
)

# program -> first word that is no option -> kind; "" stands for any other word, or none
SUBCOMMANDS: Final[Mapping[str, Mapping[str, str]]] = {
    "go": _table(test="test", lint="vet", build="build install", format="fmt"),
    "cargo": _table(
        test="test t nextest llvm-cov tarpaulin insta miri",
        typecheck="check c",
        lint="clippy deny machete",
        build="build b",
        format="fmt",
    ),
    "ruff": {**_table(lint="check", format="format"), "": "lint"},
    "biome": _table(lint="check lint ci", format="format"),
    "trunk": _table(lint="check", format="fmt"),
    "buf": _table(lint="lint", build="build", format="format"),
    "terraform": _table(lint="validate", format="fmt"),
    "helm": _table(lint="lint"),
    "dotnet": _table(test="test vstest", build="build publish", format="format"),
    "swift": _table(test="test", build="build", format="format"),
    "mix": _table(test="test", lint="credo", typecheck="dialyzer", build="compile", format="format"),
    "gleam": _table(test="test", typecheck="check", build="build", format="format"),
    "rails": _table(test="test test:system spec"),
    "artisan": _table(test="test"),
    "manage.py": _table(test="test"),
    "setup.py": _table(test="test", build="build build_ext"),
    "bazel": _table(test="test coverage", build="build"),
    "flutter": _table(test="test", lint="analyze", build="build"),
    "dart": _table(test="test", lint="analyze", format="format"),
    "stack": _table(test="test", build="build"),
    "cabal": _table(test="test", build="build"),
    "dune": _table(test="test runtest", build="build", format="fmt"),
    "zig": _table(test="test", build="build", format="fmt"),
    "forge": _table(test="test coverage", build="build", format="fmt"),
    "hatch": _table(test="test", build="build", format="fmt"),
    "uv": _table(build="build", format="format"),
    "poetry": _table(build="build"),
    "meson": _table(test="test", build="compile"),
    "docker": _table(build="build"),
    "vite": _table(build="build"),
    "next": _table(build="build", lint="lint"),
    "astro": _table(build="build", typecheck="check"),
    "ng": _table(test="test e2e", build="build", lint="lint"),
    "react-scripts": _table(test="test", build="build"),
    "vue-cli-service": _table(test="test:unit test:e2e", build="build", lint="lint"),
    "playwright": _table(test="test"),
    "deno": _table(test="test bench", lint="lint", format="fmt", typecheck="check", build="compile"),
    "bun": _table(test="test", build="build"),
    "cmake": _table(build="--build"),
}

# Runners of tasks that a project names itself -> the kind of a call without a task.
TASK_RUNNERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(names_in("make gmake ninja"), "build"),
    **dict.fromkeys(
        names_in(
            """
            mise just task go-task rake invoke inv poe nx turbo lerna moon composer npm pnpm yarn bun deno gradle
            gradlew mvn mvnw sbt lein ant xcodebuild rebar3
            """
        ),
        "",
    ),
}

# The task runners that take several tasks on one line; the others hand further words to the one task.
TASK_LISTS: Final = names_in("make gmake ninja just gradle gradlew mvn mvnw sbt turbo xcodebuild")

TASK_WORDS: Final[Mapping[str, str]] = _table(
    test="""
        test tests spec specs e2e unit integration coverage cov pytest jest vitest cypress playwright rspec phpunit
        testonly testquick connectedcheck runtest verify ci smoke
    """,
    typecheck="typecheck types tsc mypy pyright typescript typing",
    lint="lint lints linter linters lintfix eslint ruff clippy vet golangci rubocop shellcheck style checkstyle",
    build="build compile bundle dist assemble package jar testclasses compilejava compilekotlin",
    format="fmt format formatting prettier spotlessapply spotlesscheck black",
)

# Programs that hand on text or say nothing about the work: a test run in their output was printed, not run.
PRINTERS: Final = names_in(
    """
    cat bat batcat head tail less more sed awk gawk grep egrep fgrep rg ag ack zcat zgrep nl tac cut sort uniq wc ls ll
    exa eza find fd tree stat file diff delta cmp gh glab hub curl wget http jq yq echo printf cd pushd popd pwd export
    set unset source . sleep true false : test [ [[ mkdir rm cp mv ln touch chmod chown which type whereis date kill
    ps pgrep jobs wait xxd hexdump od strings column tr tee journalctl kubectl open pbcopy apply_patch for case in
    local read basename dirname realpath readlink rev comm paste fold md5sum sha256sum du df lsof trash
    """
)

# git subcommands that may run hooks, and with them checks; all others print.
GIT_WITH_HOOKS: Final = names_in("commit push rebase merge am pull bisect cherry-pick revert")
