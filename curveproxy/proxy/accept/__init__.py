"""From accept to an authenticated applicant, without state for a stranger."""
