"""From accept to an authenticated applicant, without state for the others."""
