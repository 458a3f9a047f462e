"""How GitHub's and GitLab's deliveries are worded as CloudEvents: the adapters that go with the specification.

https://github.com/cloudevents/spec/tree/main/cloudevents/adapters (github.md, gitlab.md). Where these leave a question
open or cannot be meant: `status` ends in its state, and `discussion` has no dataschema (theirs is a time).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of event. A name in braces is a path in the payload; of what `|` parts, the first that is there counts.

    `ending` follows the kind in the type. Of the source, what begins with the last `cut` is left out. A `*` in `time`
    stands for the action.
    """

    subject: str = ""
    time: str = ""
    source: str = "{repository.url}"
    ending: str = ".{action}"
    cut: str = ""


_OWNER, _PULL, _DEPLOYMENT = "{repository.owner.url}", "{pull_request.url}", "{deployment.url}"
_ACCOUNT, _ORGANIZATION = "{installation.account.url}", "{organization.url}"

# By `X-GitHub-Event`.
GITHUB_ROWS: Mapping[str, Row] = {
    "branch_protection_configuration": Row(),
    "branch_protection_rule": Row("{rule.id}", "{rule.updated_at}"),
    "check_run": Row("{check_run.id}", "{check_run.completed_at}|{check_run.started_at}"),
    "check_suite": Row("{check_suite.id}", "{check_suite.updated_at}"),
    "code_scanning_alert": Row("{alert.number}"),
    "commit_comment": Row("{comment.id}", "{comment.updated_at}", "{comment.url}/{comment.commit_id}"),
    "content_reference": Row("{content_reference.id}"),
    "create": Row("{ref}", ending=".{ref_type}"),
    "custom_property": Row("{definition.property_name}"),
    "custom_property_values": Row(),
    "delete": Row("{ref}", ending=".{ref_type}"),
    "dependabot_alert": Row("{alert.id}"),
    "deploy_key": Row("{key.id}", "{key.deleted_at}|{key.created_at}"),
    "deployment": Row("{deployment.id}", "{deployment.updated_at}", ending=""),
    "deployment_protection_rule": Row("{deployment.id}", source=_DEPLOYMENT),
    "deployment_review": Row("{workflow_run.id}", source=_DEPLOYMENT),
    "deployment_status": Row(
        "{deployment_status.url}", "{deployment_status.updated_at}", _DEPLOYMENT, ".{deployment_status.state}"
    ),
    "discussion": Row("{discussion.id}"),
    "discussion_comment": Row("{discussion.id}", "{comment.updated_at}"),
    "fork": Row("{forkee.url}", "{forkee.created_at}", ending=""),
    "github_app_authorization": Row(source="{sender.url}", ending=""),
    "gollum": Row(ending=""),
    "installation": Row("{installation.id}", "{installation.updated_at}", _ACCOUNT),
    "installation_repositories": Row("{installation.id}", "{installation.updated_at}", _ACCOUNT),
    "installation_target": Row("{installation.id}", source=_ACCOUNT),
    "issue_comment": Row("{comment.id}", "{comment.updated_at}", "{issue.url}"),
    "issues": Row("{issue.number}", "{issue.updated_at}"),
    "label": Row("{label.name}"),
    "marketplace_purchase": Row("{marketplace_purchase.account.login}", "{effective_date}", "{sender.url}", cut="/"),
    "member": Row("{member.login}"),
    "membership": Row("{member.login}", source="{team.url}", ending=".{scope}.{action}"),
    "merge_group": Row("{merge_group.head_ref}"),
    "meta": Row("{hook_id}", "{hook.updated_at}"),
    "milestone": Row("{milestone.number}", "{milestone.updated_at}"),
    "organization": Row("{membership.user.login}", source=_ORGANIZATION),
    "org_block": Row("{blocked_user.login}", source=_ORGANIZATION),
    "package": Row("{package.id}", "{package.updated_at}|{package.created_at}"),
    "page_build": Row("{build.url}", "{pusher.updated_at}", ending=""),
    "project_card": Row("{project_card.id}", "{project_card.updated_at}"),
    "project_column": Row("{project_column.id}", "{project_column.updated_at}"),
    "project": Row("{project.id}", "{project.updated_at}"),
    "projects_v2": Row("{projects_v2.id}", "{projects_v2.updated_at}"),
    "projects_v2_item": Row("{projects_v2_item.id}", "{projects_v2_item.updated_at}"),
    "projects_v2_status_update": Row("{projects_v2_status_update.id}", "{projects_v2_status_update.updated_at}"),
    "public": Row("{repository.name}", "{repository.updated_at}", _OWNER, ""),
    "pull_request": Row("{number}", "{pull_request.updated_at}"),
    "pull_request_review": Row("{review.id}", "{review.submitted_at}", _PULL),
    "pull_request_review_comment": Row("{comment.id}", "{pull_request.updated_at}", _PULL),
    "pull_request_review_thread": Row("{pull_request.id}", source=_PULL),
    "push": Row("{ref}", ending=""),
    "registry_package": Row("{registry_package.html_url}", "{registry_package.updated_at}"),
    "release": Row("{release.id}", "{release.*_at}"),
    "repository": Row("{repository.name}", "{repository.updated_at}", _OWNER),
    "repository_advisory": Row("{repository_advisory.ghsa_id}", "{repository_advisory.updated_at}"),
    # These two have no dot before the action, there as here.
    "repository_dispatch": Row(source=_OWNER, ending="{action}"),
    "repository_ruleset": Row("{repository.name}", "{repository.updated_at}", _OWNER, "{action}"),
    "repository_import": Row("{repository.name}", "{repository.updated_at}", _OWNER, ""),
    "repository_vulnerability_alert": Row("{alert.id}"),
    "secret_scanning_alert": Row("{alert.number}", "{alert.updated_at}|{alert.created_at}"),
    "secret_scanning_alert_location": Row("{alert.number}", "{alert.updated_at}|{alert.created_at}"),
    "security_advisory": Row("{security_advisory.ghsa_id}", "{security_advisory.updated_at}", "github.com"),
    "security_and_analysis": Row(ending=""),
    "sponsorship": Row("{sponsorship.sponsor.login}"),
    "star": Row(time="{starred_at}"),
    "status": Row("{sha}", "{updated_at}", ending=".{state}"),
    "team": Row("{team.id}", "{updated_at}"),
    "team_add": Row("{team.id}"),
    "watch": Row(),
    "workflow_dispatch": Row("{workflow}", ending=""),
    "workflow_job": Row("{workflow_job.name}"),
    "workflow_run": Row("{workflow.name}"),
}
# Kinds that GitHub has added since.
GITHUB_OTHERS = Row(source=f"{{repository.url}}|{_ORGANIZATION}|{_ACCOUNT}")

_HOME, _PROJECT = "{repository.homepage}|{project.web_url}", "{project.web_url}|{repository.homepage}"
_ID, _CREATED, _NOTE = "{object_attributes.id}", "{object_attributes.created_at}", "{object_attributes.url}"

# By `object_kind` in the payload; notes also by what they are about.
GITLAB_ROWS: Mapping[str, Row] = {
    "push": Row("{checkout_sha}", source=_HOME, ending=""),
    "tag_push": Row("{ref}", source=_HOME, ending=""),
    "issue": Row("{object_attributes.iid}", source=_HOME, ending=".{object_attributes.state}"),
    "note.commit": Row(_ID, _CREATED, "{commit.url}", ""),
    "note.merge_request": Row(_ID, _CREATED, _NOTE, "", cut="#note_"),
    "note.issue": Row(_ID, _CREATED, _NOTE, "", cut="#note_"),
    "note.snippet": Row(_ID, _CREATED, _NOTE, "", cut="#note_"),
    "merge_request": Row("{object_attributes.iid}", _CREATED, _HOME, ".{object_attributes.action}"),
    "wiki_page": Row("{object_attributes.slug}", source=_PROJECT, ending=".{object_attributes.action}"),
    "pipeline": Row(_ID, source=_PROJECT, ending=".{object_attributes.status}"),
    # GitLab itself calls these fields build_id and build_status.
    "job": Row("{job_id}|{build_id}", source=_HOME, ending=".{job_status}|.{build_status}"),
}
GITLAB_OTHERS = Row(source=_PROJECT, ending="")
