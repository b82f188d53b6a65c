"""GitHub's JSON for accounts, repositories and runs, as its REST API and its webhooks show it."""

from typing import Any

from zekt_sandbox.github.clock import iso
from zekt_sandbox.github.model import Account, Repository, Workflow, WorkflowRun

API = "https://api.github.com"
WEB = "https://github.com"
CREATED = "2024-03-05T09:12:44Z"
_USER_URLS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}
_REPOSITORY_URLS = {
    "forks_url": "/forks",
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "teams_url": "/teams",
    "hooks_url": "/hooks",
    "issue_events_url": "/issues/events{/number}",
    "events_url": "/events",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "blobs_url": "/git/blobs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "languages_url": "/languages",
    "stargazers_url": "/stargazers",
    "contributors_url": "/contributors",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "merges_url": "/merges",
    "archive_url": "/{archive_format}{/ref}",
    "downloads_url": "/downloads",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "deployments_url": "/deployments",
}
_RUN_URLS = {
    "jobs_url": "/jobs",
    "logs_url": "/logs",
    "artifacts_url": "/artifacts",
    "cancel_url": "/cancel",
    "rerun_url": "/rerun",
}


def account_json(account: Account) -> dict[str, Any]:
    """A simple user, as GitHub nests it nearly everywhere."""
    url = f"{API}/users/{account.login}"
    return {
        "login": account.login,
        "id": account.id,
        "node_id": f"MDQ6VXNlcnt{account.id}=",
        "avatar_url": f"https://avatars.githubusercontent.com/u/{account.id}?v=4",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{WEB}/{account.login}",
        **{key: url + suffix for key, suffix in _USER_URLS.items()},
        "type": account.type,
        "user_view_type": "public",
        "site_admin": False,
    }


def user_json(person: Account) -> dict[str, Any]:
    """A person in full, as `GET /user` shows them to themselves."""
    absent = dict.fromkeys(("company", "location", "hireable", "bio", "twitter_username"))
    counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
    named = {"name": person.name, "email": person.email, "blog": ""}
    return {**account_json(person), **named, **absent, **counts, "created_at": CREATED, "updated_at": CREATED}


def permissions_json(permission: str) -> dict[str, bool]:
    """A person's permission in a repository, spelt out as the repository shows it."""
    admin, push, pull = permission == "admin", permission in ("write", "admin"), permission != "none"
    return {"admin": admin, "maintain": admin, "push": push, "triage": push, "pull": pull}


def organization_json(account: Account) -> dict[str, Any]:
    """An organisation, as webhooks nest it."""
    url = f"{API}/orgs/{account.login}"
    paths = {f"{kind}_url": f"{url}/{kind}" for kind in ("repos", "events", "hooks", "issues")}
    return {
        "login": account.login,
        "id": account.id,
        "node_id": f"O_kgDOB{account.id}",
        "url": url,
        **paths,
        "members_url": f"{url}/members{{/member}}",
        "public_members_url": f"{url}/public_members{{/member}}",
        "avatar_url": f"https://avatars.githubusercontent.com/u/{account.id}?v=4",
        "description": "Continuous integration and delivery of everything this organisation ships",
    }


def enterprise_json(enterprise: Account) -> dict[str, Any]:
    """An enterprise, as an installation in it names its account: by a slug, without a login."""
    return {
        "id": enterprise.id,
        "slug": enterprise.login,
        "node_id": f"E_kgDOB{enterprise.id}",
        "name": enterprise.login.title(),
        "description": None,
        "website_url": None,
        "html_url": f"{WEB}/enterprises/{enterprise.login}",
        "avatar_url": f"https://avatars.githubusercontent.com/b/{enterprise.id}?v=4",
        "created_at": CREATED,
        "updated_at": CREATED,
    }


def minimal_repository_json(repository: Repository) -> dict[str, Any]:
    """A repository as a run nests it."""
    url = f"{API}/repos/{repository.full_name}"
    return {
        "id": repository.id,
        "node_id": f"R_kgDOK{repository.id}",
        "name": repository.name,
        "full_name": repository.full_name,
        "private": repository.private,
        "owner": account_json(repository.owner),
        "html_url": f"{WEB}/{repository.full_name}",
        "description": "What the platform team builds and releases for the others",
        "fork": False,
        "url": url,
        **{key: url + suffix for key, suffix in _REPOSITORY_URLS.items()},
    }


def repository_json(repository: Repository) -> dict[str, Any]:
    """A repository in full."""
    web = f"{WEB}/{repository.full_name}"
    urls = {"git_url": f"git://github.com/{repository.full_name}.git", "clone_url": f"{web}.git", "svn_url": web}
    counts = dict.fromkeys(("forks", "forks_count", "open_issues", "open_issues_count", "size"), 0)
    counts |= dict.fromkeys(("stargazers_count", "watchers", "watchers_count"), 0)
    features = {"has_issues": True, "has_projects": True, "has_downloads": True, "has_wiki": False, "has_pages": False}
    features |= {"has_discussions": False, "allow_forking": True, "is_template": False}
    return {
        **minimal_repository_json(repository),
        **urls,
        "ssh_url": f"git@github.com:{repository.full_name}.git",
        "homepage": None,
        "language": "Python",
        "created_at": CREATED,
        "updated_at": CREATED,
        "pushed_at": CREATED,
        "mirror_url": None,
        "archived": repository.archived,
        "disabled": False,
        "license": {
            "key": "apache-2.0",
            "name": "Apache License 2.0",
            "spdx_id": "Apache-2.0",
            "url": f"{API}/licenses/apache-2.0",
        },
        "web_commit_signoff_required": False,
        "topics": ["continuous-delivery", "platform"],
        "visibility": "private" if repository.private else "public",
        "default_branch": repository.default_branch,
        "custom_properties": {"team": "platform", "tier": "internal"},
        **features,
        **counts,
    }


def workflow_json(workflow: Workflow, repository: Repository) -> dict[str, Any]:
    """A workflow."""
    return {
        "id": workflow.id,
        "node_id": f"W_kwDOK{workflow.id}",
        "name": workflow.name,
        "path": workflow.path,
        "state": workflow.state,
        "created_at": CREATED,
        "updated_at": CREATED,
        "url": f"{API}/repos/{repository.full_name}/actions/workflows/{workflow.id}",
        "html_url": f"{WEB}/{repository.full_name}/blob/{repository.default_branch}/{workflow.path}",
        "badge_url": f"{WEB}/{repository.full_name}/workflows/{workflow.name}/badge.svg",
    }


def run_json(run: WorkflowRun) -> dict[str, Any]:
    """A run, one attempt of it."""
    repository_url = f"{API}/repos/{run.repository.full_name}"
    url = f"{repository_url}/actions/runs/{run.id}"
    previous = f"{url}/attempts/{run.run_attempt - 1}" if run.run_attempt > 1 else None
    return {
        "id": run.id,
        "name": run.workflow.name,
        "node_id": f"WFR_kwLOK{run.id}",
        "head_branch": run.head_branch,
        "head_sha": run.head_sha,
        "path": run.workflow.path,
        "display_title": _commit_message(run).splitlines()[0],
        "run_number": run.run_number,
        "event": run.event,
        "status": run.status,
        "conclusion": run.conclusion,
        "workflow_id": run.workflow.id,
        "check_suite_id": run.id + 11,
        "check_suite_node_id": f"CS_kwDOK{run.id + 11}",
        "url": url,
        "html_url": f"{WEB}/{run.repository.full_name}/actions/runs/{run.id}",
        "pull_requests": [],
        "created_at": iso(run.created_at),
        "updated_at": iso(run.updated_at),
        "actor": account_json(run.actor),
        "run_attempt": run.run_attempt,
        "referenced_workflows": [],
        "run_started_at": iso(run.started_at),
        "triggering_actor": account_json(run.actor),
        **{key: url + suffix for key, suffix in _RUN_URLS.items()},
        "check_suite_url": f"{repository_url}/check-suites/{run.id + 11}",
        "previous_attempt_url": previous,
        "workflow_url": f"{repository_url}/actions/workflows/{run.workflow.id}",
        "head_commit": _head_commit(run),
        "repository": minimal_repository_json(run.repository),
        "head_repository": minimal_repository_json(run.head_repository),
    }


def _commit_message(run: WorkflowRun) -> str:
    return f"Release what changed on {run.head_branch}\n\nRun {run.run_number} of {run.workflow.name}."


def _head_commit(run: WorkflowRun) -> dict[str, Any]:
    person = {"name": run.actor.login, "email": f"{run.actor.id}+{run.actor.login}@users.noreply.github.com"}
    return {
        "id": run.head_sha,
        "tree_id": run.head_sha[::-1],
        "message": _commit_message(run),
        "timestamp": iso(run.created_at),
        "author": person,
        "committer": person,
    }
