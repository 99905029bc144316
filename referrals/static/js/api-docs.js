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
    deepLinking: true,
    validatorUrl: null, // the default asks a validator on another host
    requestInterceptor: (request) => {
      if (!safe.has((request.method || "GET").toUpperCase())) {
        request.headers["X-CSRFToken"] = place.dataset.csrfToken;
      }
      return request;
    },
  });
});
