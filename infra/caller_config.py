"""Who may call, and whose sessions a caller reaches: the settings of it."""

from typing import Any, Literal, Self

from pydantic import BaseModel, field_validator, model_validator

from .caller_values import (
    ALLOWED_ISSUER,
    ALLOWED_NAMES,
    ALLOWED_ORIGINS,
    check_issuer,
    check_origins,
    problem_with_callers,
    problem_with_page,
    read_list,
)
from .config_fields import setting


class CallerConfig(BaseModel):
    """The part of the configuration that is about callers."""

    auth: Literal["iam", "jwt", "none"] = setting(
        "iam",
        "`iam`; `jwt` together with `jwt_issuer` and one of `jwt_audiences` and `jwt_client_ids`; `none` only together "
        "with `allow_public=true`",
        "Who may call the URL: principals with IAM permission; whoever has a token of your issuer, which the function "
        "checks ([TOKENS.md](TOKENS.md)); or everybody on the internet, at your cost and all sharing one set of "
        "sessions.",
    )
    jwt_issuer: str | None = setting(
        None,
        ALLOWED_ISSUER + "; unset: none",
        "Whose tokens are taken. Its OpenID configuration says where its keys are.",
    )
    jwt_audiences: tuple[str, ...] = setting(
        (), ALLOWED_NAMES, "One of these has to be in a token's `aud`. Unset: `aud` does not matter."
    )
    jwt_client_ids: tuple[str, ...] = setting(
        (),
        ALLOWED_NAMES,
        "One of these has to be a token's `client_id`, as access tokens of Amazon Cognito have it. Unset: it does not "
        "matter.",
    )
    jwt_jwks_url: str | None = setting(
        None,
        "an address such as `https://login.example.com/keys`; unset: where the OpenID configuration says",
        "Where the issuer's keys are.",
    )
    page: bool = setting(
        False,
        "`true` or `false`; `true` only with `auth=jwt` and `page_client_id`",
        "Whether the URL itself is a chat page, where people sign in with your issuer ([PAGE.md](PAGE.md)).",
    )
    page_client_id: str | None = setting(
        None,
        "a client id of your issuer, with `page=true`; unset: none",
        "The public client (no secret, code with PKCE) by which the issuer knows the page. The deployment's `PageUrl` "
        "has to be registered with it.",
        pattern=r"^[\x21-\x7e]{1,253}$",
    )
    page_scope: str = setting(
        "openid",
        "scopes with spaces between them, with `page=true`",
        "What the page asks the issuer for. Some issuers want `offline_access` in it to give a refresh token, some the "
        "scope of an API.",
        pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$",
        max_length=1_000,
    )
    cors_origins: tuple[str, ...] = setting(
        (), ALLOWED_ORIGINS, "Whose pages may call the URL from a browser. Unset: none."
    )
    allow_public: bool = setting(
        False,
        "`true` or `false`",
        "The second key that `auth=none` needs: every caller then reads, exports and erases everybody's sessions.",
    )
    cognito_identity_owners: bool = setting(
        True,
        "`true` or `false`; `false` only with `auth=iam`",
        "Whether a user of an identity pool, where the request names one, is an owner of its own. `false` leaves all "
        "users of the pool's role one owner, as in earlier releases.",
    )

    @field_validator("jwt_audiences", "jwt_client_ids", "cors_origins", mode="before")
    @classmethod
    def _read_list(cls, value: Any) -> tuple[str, ...]:
        return read_list(value)

    @field_validator("jwt_issuer", "jwt_jwks_url")
    @classmethod
    def _check_issuer(cls, value: str | None) -> str | None:
        if value is not None:
            check_issuer(value)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_origins(value)
        return value

    @model_validator(mode="after")
    def _callers_can_be_known(self) -> Self:
        if problem := problem_with_callers(
            self.auth,
            is_public=self.allow_public,
            issuer=self.jwt_issuer,
            names_audience=bool(self.jwt_audiences or self.jwt_client_ids),
            jwks_url=self.jwt_jwks_url,
            identities_are_owners=self.cognito_identity_owners,
        ):
            raise ValueError(problem)
        if problem := problem_with_page(
            self.auth,
            has_page=self.page,
            client_id=self.page_client_id,
            client_ids=self.jwt_client_ids,
            states_scope="page_scope" in self.model_fields_set,
        ):
            raise ValueError(problem)
        return self
