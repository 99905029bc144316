/* Starts Swagger UI on /api/docs. Its own file, because nothing inline may run here (S-401). Without script the page links
   to the reference that needs none. Calls made from the page carry the sign-in cookie, so unsafe ones need the CSRF token. */
"use strict";

window.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("api-docs");
  const safe = new Set(["GET", "HEAD", "OPTIONS"]);
  SwaggerUIBundle({
    url: place.dataset.openapiUrl,
    domNode: place,
    presets: [SwaggerUIBundle.presets.apis],
    deepLinking: false, // links to one operation would stand inside the buttons that open it
    // Their layout has a main part and a first heading of its own, and a choice of servers without a name.
    layout: "Operations",
    plugins: [
      (system) => ({
        components: {
          Operations: () => {
            const make = system.React.createElement;
            const parts = [["SvgAssets", false], ["errors", true], ["operations", true], ["Models", true]];
            const made = parts.map(([name, isContainer]) => make(system.getComponent(name, isContainer)));
            return make("div", { className: "swagger-ui" }, ...made);
          },
        },
      }),
    ],
    validatorUrl: null, // the default asks a validator on another host
    requestInterceptor: (request) => {
      if (!safe.has((request.method || "GET").toUpperCase())) {
        request.headers["X-CSRFToken"] = place.dataset.csrfToken;
      }
      return request;
    },
  });
});
