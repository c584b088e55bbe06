"""The routes of the chat page, where it is switched on. What they answer with is imported when somebody asks."""

from typing import TYPE_CHECKING

from aws_lambda_powertools.event_handler import Response

if TYPE_CHECKING:
    from lambda_src.doors.resolver import FunctionUrlRouter
    from lambda_src.settings import Settings

PAGE_PATH = "/"
ASSETS_PATH = "/assets/"


def is_of_page(path: str) -> bool:
    """Whether a path is the page's: everybody may ask for it."""
    return path == PAGE_PATH or path.startswith(ASSETS_PATH)


class PageRoutes:
    """The page's routes.

    Args:
        settings: Of the endpoint.
        router: Knows the current request.
    """

    def __init__(self, settings: "Settings", router: "FunctionUrlRouter") -> None:
        self._settings = settings
        self._router = router

    def register(self) -> None:
        """Tell the router which request goes where. A response to HEAD loses its body on its way."""
        for method in ("GET", "HEAD"):
            self._router.route(PAGE_PATH, method, include_in_schema=False)(self.page)
            self._router.route(f"{ASSETS_PATH}.+", method, include_in_schema=False)(self.asset)

    def page(self) -> Response[str]:
        """The page."""
        from lambda_src.doors import page

        asked = self._router.current_event.resolved_query_string_parameters
        return page.answer_page(
            self._settings, page.sign_in_addresses(self._settings), known=self._known(), has_query=bool(asked)
        )

    def asset(self) -> Response[str]:
        """A file of the page."""
        from lambda_src.doors import page

        return page.answer_asset(self._router.current_event.path, known=self._known())

    def _known(self) -> str | None:
        return self._router.current_event.resolved_headers_field.get("if-none-match")
